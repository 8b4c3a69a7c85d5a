//! Where the token of the program comes from.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use expiry_cli::host;
use expiry_core::config::{Loader, Place};
use expiry_http::HttpConfig;
use secrecy::SecretString;

/// The token, and what is to be warned of once there is a log.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) token: SecretString,
    pub(crate) warning: Option<String>,
}

/// Takes the token from the stronger of both keys.
pub(crate) fn find(config: &HttpConfig, loader: &mut Loader) -> Found {
    let plain = loader.place("http.token").clone();
    let file = loader.place("http.token_file").clone();
    let (found, place) = match (&config.token, &config.token_file) {
        (plain_token, Some(path)) if plain_token.is_none() || file > plain => match in_file(path) {
            Ok(found) => (found, file),
            Err(wrong) => {
                loader.fault(file, format!("http.token_file: {wrong}"));
                return Found::default();
            }
        },
        (Some(token), _) => {
            let token = token.clone().into();
            (
                Found {
                    token,
                    warning: None,
                },
                plain,
            )
        }
        (None, _) => {
            let wrong = "there is no token, and without one nobody could be let in: write a long \
                         random one into a file (`openssl rand -hex 32`) and name it by \
                         --token-file, http.token_file or EXPIRY_HTTP_TOKEN_FILE, or hand it over \
                         in EXPIRY_HTTP_TOKEN or as credential admin-token";
            loader.fault(Place::Default, format!("http.token: {wrong}"));
            return Found::default();
        }
    };
    if let Err(wrong) = expiry_http::check_token(&found.token) {
        loader.fault(place, format!("http.token: {wrong}"));
    }
    found
}

/// Takes the token from a file that not everybody can read.
fn in_file(path: &Path) -> Result<Found, String> {
    let token = host::secret_file(path)?;
    // What is no file, as a pipe, is gone once it was read.
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let mode = file.map_or(0, |file| file.permissions().mode());
    let shown = path.display();
    if mode & 0o007 != 0 {
        return Err(format!(
            "`{shown}` is open to everybody on this machine: `chmod 600 {shown}`, and make another \
             token (`openssl rand -hex 32`) if somebody may have read it"
        ));
    }
    let is_shared = mode & 0o070 != 0;
    let warning = is_shared.then(|| {
        format!(
            "the group of `{shown}` can read the token, or write it; `chmod 600` if it should not"
        )
    });
    Ok(Found { token, warning })
}
