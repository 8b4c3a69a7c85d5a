//! Which router passwords open with the key of this machine, and the way on when it is lost.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, BufRead, IsTerminal, Write},
};

use expiry_core::{
    Cause, KeyState, NoPasswordCause, PasswordStore, RouterSecret, Secrets, StoreError, text,
};
use serde::Serialize;

use crate::{
    args::SecretsCommand,
    error::CliError,
    output::{Output, count},
    words::shell_word,
};

pub(super) async fn run(
    command: Option<&SecretsCommand>,
    passwords: &dyn PasswordStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let secrets = passwords.secrets().await?;
    match command {
        None => Ok(out.show(&Shown(&secrets))?),
        Some(SecretsCommand::Reset { yes }) => reset(&secrets, *yes, passwords, out).await,
    }
}

async fn reset(
    before: &Secrets,
    yes: bool,
    passwords: &dyn PasswordStore,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    if before.shut().next().is_none() {
        out.answer(&Reset::of(before, before, false));
        return Ok(());
    }
    if let KeyState::Unusable(fault) = &before.key {
        return Err(StoreError::Key(fault.clone()).into());
    }
    if !yes {
        if !io::stdin().is_terminal() {
            out.show(&Reset::of(before, before, false))?;
            return Err(CliError::NotAsked);
        }
        if !is_agreed(&Reset::of(before, before, false)).map_err(CliError::Ask)? {
            return Err(CliError::Declined);
        }
    }
    let after = passwords.reset_secrets(before).await?;
    out.answer(&Reset::of(before, &after, true));
    Ok(())
}

/// Says what would be done, and asks for it. What is asked goes where no script reads it.
fn is_agreed(what: &Reset<'_>) -> io::Result<bool> {
    let mut stderr = io::stderr();
    write!(
        stderr,
        "{}\nForget them? [y/N] ",
        text::lines(&what.to_string())
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Which passwords open.
struct Shown<'a>(&'a Secrets);

#[derive(Serialize)]
struct ShownJson<'a> {
    key_file: String,
    key: Option<&'a str>,
    fault: Option<&'a str>,
    routers: Vec<SecretLine<'a>>,
}

#[derive(Serialize)]
struct SecretLine<'a> {
    router: &'a str,
    sealed_with: Option<&'a str>,
    opens: bool,
    cause: Option<Cause>,
    found: Option<String>,
    opened_by: &'a [String],
    remembered_by: &'a [String],
}

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(secrets) = self;
        ShownJson {
            key_file: secrets.key_file.display().to_string(),
            key: id(secrets),
            fault: match &secrets.key {
                KeyState::Unusable(fault) => Some(fault),
                KeyState::Here(_) | KeyState::Missing => None,
            },
            routers: secrets.routers.iter().map(SecretLine::of).collect(),
        }
        .serialize(to)
    }
}

impl<'a> SecretLine<'a> {
    fn of(secret: &'a RouterSecret) -> Self {
        Self {
            router: &secret.name,
            sealed_with: secret.sealed_with.as_deref(),
            opens: secret.cause.is_none(),
            cause: secret.cause.as_ref().map(NoPasswordCause::cause),
            found: secret.cause.as_ref().map(ToString::to_string),
            opened_by: &secret.opened_by,
            remembered_by: &secret.remembered_by,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(secrets) = self;
        let file = secrets.key_file.display();
        match &secrets.key {
            KeyState::Here(id) => write!(f, "key file {file} holds key {id}")?,
            KeyState::Missing => write!(f, "key file {file} does not exist")?,
            KeyState::Unusable(fault) => write!(f, "{fault}")?,
        }
        for secret in &secrets.routers {
            match &secret.cause {
                None => write!(f, "\n{}: opens", secret.name)?,
                Some(cause) => {
                    let way_out = cause.cause().way_out(Some(&secret.name));
                    write!(f, "\n{}: {cause}; {way_out}", secret.name)?;
                }
            }
        }
        elsewhere(secrets, f)
    }
}

/// What a reset did, or would do.
struct Reset<'a> {
    before: &'a Secrets,
    after: &'a Secrets,
    done: bool,
}

#[derive(Serialize)]
struct ResetJson<'a> {
    reset: bool,
    key_file: String,
    key: Option<&'a str>,
    new_key: bool,
    /// The passwords that were forgotten, or would be.
    forgotten: Vec<SecretLine<'a>>,
    wanting: Vec<Wanting<'a>>,
}

#[derive(Serialize)]
struct Wanting<'a> {
    router: &'a str,
    command: String,
}

impl<'a> Reset<'a> {
    fn of(before: &'a Secrets, after: &'a Secrets, done: bool) -> Self {
        Self {
            before,
            after,
            done,
        }
    }

    /// The key of this id was made by the reset.
    fn new_key(&self) -> Option<&'a str> {
        id(self.after).filter(|_| id(self.before).is_none())
    }
}

impl Serialize for Reset<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let wanting = self.after.wanting().map(|secret| Wanting {
            router: &secret.name,
            command: command(&secret.name),
        });
        ResetJson {
            reset: self.done,
            key_file: self.after.key_file.display().to_string(),
            key: id(self.after),
            new_key: self.new_key().is_some(),
            forgotten: self.before.shut().map(SecretLine::of).collect(),
            wanting: wanting.collect(),
        }
        .serialize(to)
    }
}

impl fmt::Display for Reset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shut: Vec<_> = self.before.shut().collect();
        let passwords = count(shut.len() as u64, "router password");
        let file = self.after.key_file.display();
        if shut.is_empty() {
            write!(
                f,
                "nothing to forget: every router password that there is opens here"
            )?;
        } else if self.done {
            write!(f, "{passwords} forgotten; what is owed stays owed")?;
            if let Some(id) = self.new_key() {
                write!(
                    f,
                    "\nkey file {file} made, with key {id}: put a copy in the backup"
                )?;
            }
        } else {
            write!(f, "{passwords} would be forgotten, on every machine:")?;
            for secret in shut {
                if let Some(cause) = &secret.cause {
                    write!(f, "\n  {}: {cause}", secret.name)?;
                }
            }
            write!(
                f,
                "\nIf the key is on another machine or in a backup, copy it to {file} instead: then \
                 nothing is lost."
            )?;
            elsewhere(self.before, f)?;
            return write!(
                f,
                "\nNobody is cut on these routers until they have their passwords again; what is owed \
                 there stays owed."
            );
        }
        let mut wanting = self.after.wanting().peekable();
        if wanting.peek().is_some() {
            write!(f, "\nthese routers want their password again:")?;
        }
        wanting.try_for_each(|secret| write!(f, "\n  {}", command(&secret.name)))
    }
}

/// Names who has a key that is not here.
fn elsewhere(secrets: &Secrets, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut in_files, mut in_memory) = (BTreeSet::new(), BTreeSet::new());
    for secret in secrets.shut() {
        let key = secret.sealed_with.as_deref().unwrap_or_default();
        in_files.extend(secret.opened_by.iter().map(|machine| (key, machine)));
        in_memory.extend(secret.remembered_by.iter().map(|machine| (key, machine)));
    }
    for (key, machine) in &in_files {
        write!(
            f,
            "\nNOT LOST: a watcher that runs on {machine} has key {key}, and serves these routers \
             with it."
        )?;
    }
    in_memory.difference(&in_files).try_for_each(|(key, machine)| {
        write!(
            f,
            "\n{machine} still serves these routers from memory until its watcher ends; no file \
             there has key {key} any more: have the passwords ready first."
        )
    })
}

fn id(secrets: &Secrets) -> Option<&str> {
    match &secrets.key {
        KeyState::Here(id) => Some(id),
        KeyState::Missing | KeyState::Unusable(_) => None,
    }
}

/// What to type to give a router its password.
fn command(router: &str) -> String {
    let name = shell_word(router);
    format!("expiryctl router set {name} --password-file FILE")
}

#[cfg(test)]
mod tests;
