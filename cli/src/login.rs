//! `onlyhere login` and `onlyhere logout`: a token, tried and stored, and forgotten again.

use std::{
    io::{self, BufRead, IsTerminal, Read},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use console::Term;

use crate::{
    args::{LoginArgs, LogoutArgs},
    credentials::Credentials,
    error::CliError,
    remote::{self, CoordinatorUrl, RemoteError},
    render,
    settings::{self, SettingsError, Token},
};

/// Longest wait for the coordinator.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest line that is read as a token, bytes.
const LONGEST: u64 = 4_096;

/// Asks for the token (a line of standard input where that is no terminal), tries it, and stores it.
pub async fn run(args: LoginArgs) -> Result<ExitCode, CliError> {
    let url = parse(&args.url)?;
    let file = file()?;
    let mut stored = Credentials::read(&file).map_err(SettingsError::from)?;
    if url.exposes_token() {
        render::complain(&format!(
            "the token goes to {url} unencrypted; https:// protects it"
        ));
    }
    let token = Token::parse(&ask(&url)?)?;
    let listing = remote::list_vantages(&url, &token, None);
    let vantages = tokio::select! {
        listed = tokio::time::timeout(WITHIN, listing) => {
            listed.unwrap_or_else(|_| Err(RemoteError::TooSlow { url: url.clone(), within: WITHIN }))?
        }
        _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
    };
    stored.store(&url, &token);
    stored.write(&file).map_err(SettingsError::from)?;
    let count = match vantages.len() {
        1 => "1 vantage is".to_owned(),
        count => format!("{count} vantages are"),
    };
    render::complain(&format!(
        "{url} takes the token, {count} attached; stored in {}; next: onlyhere check https://shop.example",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Forgets the token of a coordinator on this machine. Only `onlyhere-coordinator token revoke` makes it worthless.
pub fn forget(args: &LogoutArgs) -> Result<ExitCode, CliError> {
    let url = parse(&args.url)?;
    let file = file()?;
    let mut stored = Credentials::read(&file).map_err(SettingsError::from)?;
    if !stored.forget(&url) {
        let known: Vec<&str> = stored.known().collect();
        let known = match known.is_empty() {
            true => "none is stored at all".to_owned(),
            false => format!("there are tokens for {}", known.join(", ")),
        };
        return Err(CliError::Usage(format!(
            "no token is stored for {url}; {known}"
        )));
    }
    stored.write(&file).map_err(SettingsError::from)?;
    render::complain(&format!("the token for {url} is forgotten here"));
    Ok(ExitCode::SUCCESS)
}

fn parse(url: &str) -> Result<CoordinatorUrl, CliError> {
    Ok(url.parse().map_err(SettingsError::Coordinator)?)
}

fn file() -> Result<PathBuf, CliError> {
    settings::folder()
        .map(|folder| folder.join("credentials.toml"))
        .ok_or_else(|| {
            CliError::Usage(
                "there is no place for the token: neither XDG_CONFIG_HOME nor HOME is set to a folder".to_owned(),
            )
        })
}

/// Not shown while it is typed.
fn ask(url: &CoordinatorUrl) -> Result<String, CliError> {
    let failed = |error| CliError::own("the token cannot be read", error);
    let stdin = io::stdin();
    let line = if stdin.is_terminal() {
        let terminal = Term::stderr();
        terminal
            .write_str(&format!(
                "Token for {url} (onlyhere-coordinator token create --kind client): "
            ))
            .map_err(failed)?;
        terminal.read_secure_line().map_err(failed)?
    } else {
        let mut line = String::new();
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut line)
            .map_err(failed)?;
        line
    };
    match line.trim() {
        "" => Err(CliError::Usage(
            "no token was given; type it, or pipe it: `printf %s \"$TOKEN\" | onlyhere login URL`"
                .to_owned(),
        )),
        token => Ok(token.to_owned()),
    }
}
