use crate::{error::CliError, output::Output, settings::Loaded};

pub(super) async fn run(_loaded: &Loaded, _out: &mut Output<'_>) -> Result<(), CliError> {
    Ok(())
}
