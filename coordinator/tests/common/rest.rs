//! A client of the HTTP side of the people's port: one connection for each request.

use axum::body::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use onlyhere_proto::Report;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Coordinator, within};

/// An answer that has been read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn report(&self) -> Report {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The detail of a problem document with this status.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }

    /// Where the check is found.
    pub fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }
}

/// A request that can still be changed.
pub fn request(method: &str, path: &str, token: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "coordinator.example")
        .header("authorization", format!("Bearer {token}"))
}

/// Sends one request; its answer's body comes as it comes. The connection ends when that is dropped.
pub async fn open(coordinator: &Coordinator, request: Request<Full<Bytes>>) -> Response<Incoming> {
    within(async {
        let stream = TcpStream::connect(coordinator.api).await.unwrap();
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        send.send_request(request).await.unwrap()
    })
    .await
}

/// Reads an answer to its end.
pub async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

pub async fn send(coordinator: &Coordinator, request: Request<Full<Bytes>>) -> Answer {
    read(open(coordinator, request).await).await
}

pub async fn get(coordinator: &Coordinator, path: &str, token: &str) -> Answer {
    let request = request("GET", path, token).body(Full::default()).unwrap();
    send(coordinator, request).await
}

/// A question as it is sent.
pub fn question(path: &str, token: &str, json: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = request("POST", path, token).header("content-type", "application/json");
    request.body(Full::new(json.into())).unwrap()
}

pub async fn post(
    coordinator: &Coordinator,
    path: &str,
    token: &str,
    json: impl Into<Bytes>,
) -> Answer {
    send(coordinator, question(path, token, json)).await
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

/// Server-sent events as a browser reads them (HTML standard, 9.2.6); comments are left out.
pub fn events(text: &str) -> Vec<Event> {
    let event = |block: &str| {
        let field = |name: &str| {
            let values = block.lines().filter_map(|line| line.strip_prefix(name));
            let values = values.map(|value| value.strip_prefix(' ').unwrap_or(value));
            values.collect::<Vec<_>>().join("\n")
        };
        let name = field("event:");
        (!name.is_empty()).then(|| Event {
            name,
            id: field("id:"),
            data: field("data:"),
        })
    };
    text.split("\n\n").filter_map(event).collect()
}
