//! The climb over one connection: TCP, TLS, HTTP, as far as asked and as far as they succeed, and on to where a redirect
//! leads. Past a proxy a tunnel comes in between.

use std::net::{IpAddr, SocketAddr};

use onlyhere_proto::{Layer, Outcome, Stage, Target};

use crate::{
    probe::{Attempt, Seen, Step},
    proxy::{self, ProxyCredentials},
    redirect::{self, Redirect},
    turns::RequestTurn,
    visit::{Onward, Visit, now},
};

impl Visit<'_> {
    /// Climbs one address of a target.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        address: IpAddr,
        depth: Stage,
        trail: &[String],
    ) {
        let Some(port) = target.port else {
            let seen = Seen::not_measured("the target has no port to connect to");
            return self.say_of(target, Stage::Tcp, Some(address), seen).await;
        };
        let to = SocketAddr::new(address, port);
        self.climb(target, to, depth, trail).await;
    }

    /// TCP, TLS, HTTP, as far as asked and as far as they succeed; then where a redirect leads. `to` is an address of the
    /// target, or of the proxy that the way leads through. Whether a connection was opened.
    pub(crate) async fn climb(
        &self,
        target: &Target,
        to: SocketAddr,
        depth: Stage,
        trail: &[String],
    ) -> bool {
        let mut attempt = self.attempt(target, to, None);
        if let Some(proxy) = &self.request.way.proxy {
            attempt.proxied = true;
            attempt.authorization =
                ProxyCredentials::of(&self.shared.settings.proxy_credentials, proxy);
        }
        let mut request = None;
        let mut no_request = None;
        if stages(target, depth).any(|stage| stage == Stage::Http) {
            match self.request_turn(target, to.ip()).await {
                Ok(turn) => request = Some(turn),
                Err(why) => no_request = Some(why),
            }
        }
        if let Some(why) = self.no_connection(to.ip()) {
            self.say(Stage::Tcp, &attempt, now(), Seen::not_measured(why))
                .await;
            return false;
        }
        let Some(permit) = self.permit(Stage::Tcp, &attempt).await else {
            return false;
        };
        for stage in stages(target, depth) {
            if let Some(why) = no_request.take_if(|_| stage == Stage::Http) {
                let seen = Seen::not_measured(why);
                self.say(stage, &attempt, now(), seen).await;
                return true;
            }
            if let Some(request) = request.as_mut().filter(|_| stage == Stage::Http) {
                request.sends();
            }
            let (started_at, mut seen) = self.measure(stage, &mut attempt).await;
            if let Some(request) = &mut request
                && matches!(seen.outcome, Outcome::Ok | Outcome::NotMeasured)
            {
                request.did_not_fail();
            }
            let redirect = redirect::of(target, &seen, trail);
            if let Redirect::Stops(why) = &redirect {
                seen.detail = Some(why.clone());
            }
            let succeeded = seen.outcome == Outcome::Ok;
            self.say(stage, &attempt, started_at, seen).await;
            if let Redirect::To(next) = redirect {
                // All are given back first: the next page needs them.
                drop((permit, attempt, request));
                self.follow(target, to, *next, trail);
                return true;
            }
            if !succeeded {
                return stage != Stage::Tcp;
            }
            if stage == Stage::Tcp && !self.is_through(depth, &mut attempt).await {
                return true;
            }
        }
        true
    }

    /// The turn of an HTTP request to a target at one of its addresses, or why it is not sent.
    async fn request_turn(
        &self,
        target: &Target,
        address: IpAddr,
    ) -> Result<RequestTurn<'_>, String> {
        let turns = &self.shared.turns;
        let turn = turns.request(&target.host, address, self.deadline).await;
        if let Err(why) = &turn {
            self.recording.denied(why);
        }
        turn
    }

    /// Whether the way leads on: past a proxy it needs a tunnel, and what a proxy says instead is told.
    async fn is_through(&self, depth: Stage, attempt: &mut Attempt<'_>) -> bool {
        if !attempt.proxied || !proxy::needs_tunnel(attempt.target, depth) {
            return true;
        }
        let (started_at, seen) = self.measure(Step::Tunnel, attempt).await;
        let opened = seen.outcome == Outcome::Ok;
        if !opened {
            self.say(Stage::Http, attempt, started_at, seen).await;
        }
        opened
    }

    /// Another page of the same server is asked for at the same address; another server is a visit of its own, made
    /// once however many addresses lead there.
    fn follow(&self, from: &Target, to: SocketAddr, next: Target, trail: &[String]) {
        let mut trail = trail.to_vec();
        trail.push(redirect::url_of(from));
        let at = redirect::same_server(from, &next).then_some(to);
        let mut followed = self.followed.lock().unwrap_or_else(|p| p.into_inner());
        if at.is_none() && !followed.insert(redirect::url_of(&next)) {
            return;
        }
        self.lead_on(Onward {
            target: next,
            at,
            trail,
        });
    }
}

fn stages(target: &Target, depth: Stage) -> impl Iterator<Item = Stage> {
    let web = matches!(target.layer, Layer::Http | Layer::Https);
    [
        (Stage::Tcp, true),
        (
            Stage::Tls,
            target.is_tls() && matches!(depth, Stage::Tls | Stage::Http),
        ),
        (Stage::Http, web && depth == Stage::Http),
    ]
    .into_iter()
    .filter_map(|(stage, wanted)| wanted.then_some(stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_are_those_of_the_layer_down_to_the_depth_asked() {
        let of = |target: &str, depth| {
            stages(&Target::parse(target).unwrap(), depth).collect::<Vec<_>>()
        };
        use Stage::{Http, Tcp, Tls};
        assert_eq!(of("https://a.example", Http), [Tcp, Tls, Http]);
        assert_eq!(of("https://a.example", Tls), [Tcp, Tls]);
        assert_eq!(of("https://a.example", Tcp), [Tcp]);
        assert_eq!(of("http://a.example", Http), [Tcp, Http]);
        assert_eq!(of("http://a.example", Tls), [Tcp]);
        assert_eq!(of("tls://a.example:853", Http), [Tcp, Tls]);
        assert_eq!(of("ssh://a.example", Http), [Tcp]);
    }
}
