//! Where a release lies: a folder, or a URL. What is read is bounded in size and time; whether it is genuine, others judge.

use std::{fs, io, io::Read, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::trust;

/// For connecting, and for all of one file.
const CONNECT: Duration = Duration::from_secs(15);
const FILE: Duration = Duration::from_secs(300);
const REDIRECTS: usize = 5;

/// Of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On this machine.
    Folder(PathBuf),
    /// Over HTTP or HTTPS; ends with a slash.
    Web(Url),
}

/// Why a file of a release cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither a folder nor a URL.
    #[error("`{0}` is no release: give its folder, or its URL (https://…)")]
    Neither(String),
    /// On this machine.
    #[error("cannot read {0}: {1}")]
    File(PathBuf, io::Error),
    /// Over the network.
    #[error("cannot fetch {0}: {1}")]
    Web(Url, String),
}

impl Source {
    /// A folder or a URL.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let neither = || SourceError::Neither(text.to_owned());
        if !text.contains("://") {
            return match text {
                "" => Err(neither()),
                path => Ok(Self::Folder(path.into())),
            };
        }
        let mut url: Url = text.parse().map_err(|_| neither())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(neither());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self::Web(url))
    }

    /// One file of it, of at most so many bytes.
    pub async fn read(&self, name: &str, at_most: usize) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let mut content = Vec::new();
                let read = fs::File::open(&path)
                    .and_then(|file| file.take(at_most as u64 + 1).read_to_end(&mut content));
                match read {
                    Err(error) => Err(SourceError::File(path, error)),
                    Ok(read) if read > at_most => {
                        let large = format!("it has more than {at_most} bytes");
                        Err(SourceError::File(path, io::Error::other(large)))
                    }
                    Ok(_) => Ok(content),
                }
            }
            Self::Web(folder) => {
                let failed = |why: String| SourceError::Web(folder.clone(), why);
                let url = folder
                    .join(name)
                    .map_err(|error| failed(error.to_string()))?;
                let fetched = timeout(FILE, fetch(url.clone(), at_most)).await;
                let fetched = fetched.unwrap_or_else(|_| {
                    Err(format!("it took more than {} seconds", FILE.as_secs()))
                });
                fetched.map_err(|why| SourceError::Web(url, why))
            }
        }
    }
}

/// Follows redirects, never from HTTPS to HTTP.
async fn fetch(mut url: Url, at_most: usize) -> Result<Vec<u8>, String> {
    for _ in 0..=REDIRECTS {
        let (status, location, body) = get(&url, at_most).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Err(format!("the server says {status}"));
        };
        let next = url.join(&location).map_err(|error| error.to_string())?;
        match (url.scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => url = next,
            _ => return Err(format!("it leads to {next}, which is not https")),
        }
    }
    Err(format!("it leads on more than {REDIRECTS} times"))
}

type Answer = (StatusCode, Option<String>, Vec<u8>);

async fn get(url: &Url, at_most: usize) -> Result<Answer, String> {
    let host = url.host_str().ok_or("it names no host")?;
    let port = url.port_or_known_default().ok_or("it names no port")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let connected = timeout(CONNECT, TcpStream::connect((bare, port))).await;
    let stream = connected
        .map_err(|_| format!("{host} does not answer"))?
        .map_err(|error| error.to_string())?;
    if url.scheme() == "http" {
        return ask(stream, url, at_most).await;
    }
    let config = ClientConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(trust::roots())
        .with_no_client_auth();
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
    let shaken = timeout(
        CONNECT,
        TlsConnector::from(Arc::new(config)).connect(name, stream),
    );
    let stream = shaken
        .await
        .map_err(|_| format!("{host} does not answer"))?
        .map_err(|error| error.to_string())?;
    ask(stream, url, at_most).await
}

async fn ask<S>(stream: S, url: &Url, at_most: usize) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(
            header::USER_AGENT,
            concat!("onlyhere-probe/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let location = head.headers.get(header::LOCATION);
    let location = location.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let body = Limited::new(body, at_most)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    Ok((head.status, location, body.to_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_folder_or_a_url() {
        let parse = |text| Source::parse(text);
        assert_eq!(
            parse("dist/0.2.0").unwrap(),
            Source::Folder("dist/0.2.0".into())
        );
        let Source::Web(url) = parse("https://get.example/0.2.0").unwrap() else {
            panic!("a URL is no folder");
        };
        assert_eq!(
            url.join("SHA256SUMS").unwrap().as_str(),
            "https://get.example/0.2.0/SHA256SUMS"
        );
        for text in ["", "ftp://get.example/", "https://"] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains("is no release"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("large"), [0; 9]).unwrap();
        let source = Source::Folder(dir.path().to_owned());
        assert_eq!(source.read("large", 9).await.unwrap().len(), 9);
        let said = source.read("large", 8).await.unwrap_err().to_string();
        assert!(said.contains("more than 8 bytes"), "{said}");
        assert!(source.read("none", 8).await.is_err());
    }
}
