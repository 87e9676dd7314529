//! Where the coordinator is, even where this machine's resolver is what is broken: then the resolvers of the settings
//! are asked as well.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use onlyhere_proto::limits;
use tokio::time::timeout;

use super::{CoordinatorUrl, RemoteError};

/// Head start of the system's resolver.
const HEAD_START: Duration = Duration::from_millis(300);

/// The coordinator's addresses within `within`: from the system or, where that fails or is slow, from `elsewhere`, which
/// is polled only then and gives nothing where it knows nothing.
pub(super) async fn addresses(
    url: &CoordinatorUrl,
    elsewhere: impl Future<Output = Vec<IpAddr>>,
    within: Duration,
) -> Result<Vec<SocketAddr>, RemoteError> {
    let found = timeout(within, race(by_system(url), elsewhere)).await;
    let found = found.unwrap_or_else(|_| Err("no resolver answers".to_owned()));
    let socket = |address| SocketAddr::new(address, url.port());
    let not_resolved = |why: String| RemoteError::NotResolved {
        url: url.clone(),
        why: limits::plain_text(&why, limits::TEXT),
    };
    found
        .map(|addresses| addresses.into_iter().map(socket).collect())
        .map_err(not_resolved)
}

async fn by_system(url: &CoordinatorUrl) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((url.host(), url.port()))
        .await
        .map_err(|error| error.to_string())?;
    let addresses: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
    if addresses.is_empty() {
        Err("it has no address".to_owned())
    } else {
        Ok(addresses)
    }
}

/// The first to know it; where nobody does, what the system said.
async fn race(
    by_system: impl Future<Output = Result<Vec<IpAddr>, String>>,
    elsewhere: impl Future<Output = Vec<IpAddr>>,
) -> Result<Vec<IpAddr>, String> {
    let (mut by_system, mut elsewhere) = (pin!(by_system), pin!(elsewhere));
    let why = match timeout(HEAD_START, &mut by_system).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(why)) => why,
        Err(_) => tokio::select! {
            answer = &mut by_system => match answer {
                Ok(found) => return Ok(found),
                Err(why) => why,
            },
            found = &mut elsewhere => {
                return if found.is_empty() { by_system.await } else { Ok(found) };
            }
        },
    };
    let found = elsewhere.await;
    if found.is_empty() {
        Err(why)
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    type Answer = Result<Vec<IpAddr>, String>;

    fn address(last: u8) -> Vec<IpAddr> {
        vec![[192, 0, 2, last].into()]
    }

    async fn after<T>(millis: u64, answer: T) -> T {
        sleep(Duration::from_millis(millis)).await;
        answer
    }

    #[tokio::test]
    async fn whoever_knows_it_first_is_believed() {
        let refused = || -> Answer { Err("no such name".into()) };
        assert_eq!(race(ready(Ok(address(1))), pending()).await, Ok(address(1)));
        assert_eq!(
            race(after(100, Ok(address(1))), ready(address(2))).await,
            Ok(address(1)),
            "the system has a head start"
        );
        assert_eq!(
            race(pending(), ready(address(2))).await,
            Ok(address(2)),
            "a silent system"
        );
        assert_eq!(
            race(ready(refused()), after(50, address(2))).await,
            Ok(address(2)),
            "a system that does not know"
        );
        assert_eq!(
            race(after(350, refused()), after(100, address(2))).await,
            Ok(address(2))
        );
        assert_eq!(race(ready(refused()), ready(Vec::new())).await, refused());
        assert_eq!(
            race(after(350, Ok(address(1))), ready(Vec::new())).await,
            Ok(address(1)),
            "a slow system"
        );
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let url: CoordinatorUrl = "http://127.0.0.1:7".parse().unwrap();
        let found = addresses(&url, pending(), Duration::from_secs(1)).await;
        assert_eq!(found.unwrap(), [([127, 0, 0, 1], 7).into()]);
    }
}
