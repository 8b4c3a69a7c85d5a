//! The live page in headless Chromium, served by the real binary with a watcher inside, in front of a
//! simulated router.

mod browser;
mod changes;
mod dialogs;
mod docs_page;
mod feed;
mod focus;
mod known;
mod markup;
mod pictures;
mod session;
mod stage;
mod troubles;
mod view;
