//! `onlyhere ticket`: of an earlier check that the coordinator keeps, of a file, and of a check made now.

use std::{fs, net::TcpListener, path::Path, process::Stdio};

use axum::{
    Router,
    extract::Path as Id,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use tokio::process::Command;

const KEPT: &str = "01M84ECAYMMZD4YPZB2M0RS6A4";

fn example() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/ban.json");
    fs::read_to_string(file).unwrap()
}

/// What a coordinator says on its REST side: a report to whoever has the token, problem documents to others.
async fn rest() -> String {
    async fn kept(Id(id): Id<String>, headers: HeaderMap) -> (StatusCode, String) {
        let problem = |status, detail| {
            let body = format!("{{\"status\":0,\"title\":\"x\",\"detail\":\"{detail}\"}}");
            (status, body)
        };
        let bearer = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        match (bearer, id.as_str()) {
            (Some("Bearer right"), KEPT) => (StatusCode::OK, example()),
            (Some("Bearer right"), _) => problem(StatusCode::NOT_FOUND, "no such check"),
            _ => problem(StatusCode::UNAUTHORIZED, "the token is not known"),
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/checks/{id}", get(kept));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn ticket(args: &[&str], url: &str, token: &str) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_onlyhere"))
        .arg("ticket")
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("ONLYHERE_COORDINATOR", url)
        .env("ONLYHERE_TOKEN", token)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn an_earlier_check_is_fetched_by_its_id() {
    let url = rest().await;
    let (code, shown, told) = ticket(&[KEPT], &url, "right").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(shown.starts_with("# `https://shop.example`: Refused from your IP address only"));
    assert!(
        shown.contains(KEPT) && shown.contains("198.18.3.20"),
        "{shown}"
    );
    let (_, redacted, _) = ticket(&[KEPT, "--redact"], &url, "right").await;
    assert!(!redacted.contains("198.18.3.20"), "{redacted}");
    assert!(redacted.contains("AS64503"), "{redacted}");

    let other = "01M84ECAYMMZD4YPZB2M0RS6A5";
    let (code, shown, told) = ticket(&[other], &url, "right").await;
    assert_eq!((code, shown.as_str()), (Some(3), ""));
    assert!(told.contains("no such check"), "{told}");
    let (code, _, told) = ticket(&[KEPT], &url, "wrong").await;
    assert_eq!(code, Some(3));
    assert!(
        told.contains("refuses the token: the token is not known"),
        "{told}"
    );
}

#[tokio::test]
async fn a_file_and_a_target_do_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    fs::write(&file, example()).unwrap();
    let (code, of_file, told) = ticket(&[file.to_str().unwrap()], "", "").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(of_file.contains("fail2ban-client"), "{of_file}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let (code, shown, told) = ticket(&[&closed.to_string()], "", "").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(shown.contains("### Attempts that failed"), "{shown}");

    fs::write(&file, "{}").unwrap();
    let (code, shown, _) = ticket(&[file.to_str().unwrap()], "", "").await;
    assert_eq!((code, shown.as_str()), (Some(2), ""));
}
