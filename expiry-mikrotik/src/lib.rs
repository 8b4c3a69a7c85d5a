//! mikrotik
