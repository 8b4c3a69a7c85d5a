//! Passwords from files and from the terminal; never from the command line.

use std::{
    fs,
    io::{self, IsTerminal},
    path::Path,
};

use secrecy::SecretString;

use crate::error::CliError;

/// Reads a password from a file: all of its text but one line end at its end.
pub(crate) fn from_file(path: &Path) -> Result<SecretString, CliError> {
    let bytes = fs::read(path).map_err(|source| CliError::PasswordFile {
        path: path.into(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::PasswordFileText(path.into()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(CliError::EmptyPasswordFile(path.into()));
    }
    if line.contains(char::is_control) {
        return Err(CliError::PasswordFileText(path.into()));
    }
    Ok(SecretString::from(line))
}

/// Reads a password from a file, or asks for it on the terminal.
pub(crate) fn from_file_or_terminal(
    path: Option<&Path>,
    account: &str,
) -> Result<SecretString, CliError> {
    if let Some(path) = path {
        return from_file(path);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::NoPassword);
    }
    let prompt = format!("Password of `{account}` on the router: ");
    let password = rpassword::prompt_password(prompt).map_err(CliError::Prompt)?;
    if password.is_empty() {
        return Err(CliError::EmptyPassword);
    }
    Ok(SecretString::from(password))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use tempfile::NamedTempFile;

    use super::*;

    fn file(content: &[u8]) -> NamedTempFile {
        let file = NamedTempFile::new().expect("a file");
        fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn one_line_end_is_not_part_of_the_password_and_spaces_are() {
        for content in [&b" a b "[..], b" a b \n", b" a b \r\n"] {
            let password = from_file(file(content).path()).expect("a password");
            assert_eq!(password.expose_secret(), " a b ");
        }
    }

    #[test]
    fn r11_there_is_no_empty_password() {
        for content in [&b""[..], b"\n", b"\r\n"] {
            let result = from_file(file(content).path());
            assert!(matches!(result, Err(CliError::EmptyPasswordFile(_))));
        }
    }

    #[test]
    fn what_is_no_line_of_text_is_refused() {
        for content in [&b"a\nb\n"[..], b"\xff", b"a\n\n"] {
            let result = from_file(file(content).path());
            assert!(matches!(result, Err(CliError::PasswordFileText(_))));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = from_file(Path::new("/no/such/file")).expect_err("no file");
        assert!(error.to_string().contains("/no/such/file"));
        assert_eq!(error.exit_code(), crate::error::USAGE);
    }
}
