//! Joining, renewing, and who is let in with what it holds.

use std::net::IpAddr;

use onlyhere_proto::{VantageName, limits, wire};
use rustls_pki_types::CertificateDer;
use tonic::Status;

use super::{
    ProbePort,
    roll::{Enrolled, NameRefused, NotAdmitted, grant},
};
use crate::{
    audit::{Act, By, Event as Entry},
    clock,
    identity::{Authority, IdentityError, Peer},
    place::Place,
    store::StoreError,
    tokens::{Refused, SecretHash, Token, TokenKind},
};

impl ProbePort {
    pub(super) async fn enrol_now(
        &self,
        request: &wire::EnrolRequest,
        by: &By,
    ) -> Result<wire::EnrolResponse, Status> {
        let wish: Option<VantageName> = match request.name.as_str() {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|e| Status::invalid_argument(format!("{e}")))?,
            ),
        };
        let now = clock::now();
        let token = self.tokens.find(&request.secret, &[TokenKind::Probe], now);
        let token = token.await.map_err(unreadable)?.map_err(refused)?;
        let names = self.roll.all().await.map_err(unreadable)?;
        let name = grant(&names, &token, wish.as_ref()).map_err(name_refused)?;
        let authority = self.authority.authority();
        let signed = authority
            .sign_probe(&request.signing_request, &name, self.certificate_life)
            .map_err(not_signed)?;
        // Everything else is in order: only now a use is spent.
        let token: Token = self
            .tokens
            .spend(&request.secret, &[TokenKind::Probe], now)
            .await
            .map_err(unreadable)?
            .map_err(refused)?;
        // Who comes back with a token that says nothing of the place is where it was.
        let place = match names.get(&name) {
            Some(before) if token.place == Place::default() => before.place.clone(),
            _ => token.place.clone(),
        };
        let enrolled = Enrolled::new(place, &signed.peer, &token.id, now);
        let entered = self
            .roll
            .enter(&name, &token, enrolled, by)
            .await
            .map_err(unreadable)?;
        entered.map_err(name_refused)?;
        self.notices.forget(&name);
        Ok(wire::EnrolResponse {
            name: name.to_string(),
            certificate_chain: der(signed.chain.iter()),
            authorities: trusted(&authority),
        })
    }

    pub(super) async fn renew_now(
        &self,
        signing_request: &[u8],
        peer: &Peer,
        remote: IpAddr,
    ) -> Result<wire::RenewResponse, Status> {
        self.admit(peer, remote).await?;
        let authority = self.authority.authority();
        let signed = authority
            .sign_probe(signing_request, &peer.name, self.certificate_life)
            .map_err(not_signed)?;
        if signed.peer.key_sha256 == peer.key_sha256 {
            return Err(Status::invalid_argument(
                "a certificate is renewed for a new key",
            ));
        }
        let by = By::probe(&peer.name, Some(remote));
        let renewed = self.roll.renew(peer, &signed.peer, &by).await;
        renewed
            .map_err(unreadable)?
            .map_err(|not| not_admitted(not, peer))?;
        tracing::info!(probe = %peer.name, %remote, until = %signed.peer.expires_at, "renewed");
        Ok(wire::RenewResponse {
            certificate_chain: der(signed.chain.iter()),
            authorities: trusted(&authority),
        })
    }

    /// Who the roll says that this is, if it may come in.
    ///
    /// The clock and the CA are asked once more: a resumed handshake has not looked at the certificate.
    pub(super) async fn admit(&self, peer: &Peer, remote: IpAddr) -> Result<Enrolled, Status> {
        let name = &peer.name;
        let refuse = |why: &str| {
            Err(Status::permission_denied(format!(
                "{why}; {}",
                rejoin(name)
            )))
        };
        if peer.expires_at <= clock::now() {
            return refuse(&format!(
                "this probe's certificate expired at {}",
                peer.expires_at
            ));
        }
        // As the file has it: whom a CA let in that was retired just now would have renewed before the port follows.
        let authority = self.authority.newest().unwrap_or_else(|error| {
            tracing::error!(%error, "the certificate authority cannot be read: the one before stays in use");
            self.authority.authority()
        });
        if !authority.trusts(peer) {
            return refuse("this probe's certificate is of a CA that was retired");
        }
        let admitted = self.roll.admit(peer).await.map_err(unreadable)?;
        match admitted {
            Ok(enrolled) => Ok(enrolled),
            Err(not) => {
                tracing::warn!(probe = %name, %remote, why = %not, "refused");
                if self.notices.is_news(name, "refused", clock::now()) {
                    let by = By::probe(name, Some(remote));
                    let entry = Entry::new(Act::AttachRefused, by, name.as_str(), &not.to_string());
                    self.audit.record(entry).await;
                }
                Err(not_admitted(not, peer))
            }
        }
    }

    /// Who tried, from where, with which token, as whom: a token that somebody else has used first was stolen.
    pub(super) async fn tell_refused_join(
        &self,
        request: &wire::EnrolRequest,
        remote: IpAddr,
        status: &Status,
    ) {
        let token = self.shown_token(&request.secret).await;
        let mut why = status.message().to_owned();
        if !request.name.is_empty() {
            let wish = limits::plain_text(&request.name, 64);
            why = format!("{why} (asked for the name {wish})");
        }
        tracing::warn!(%remote, token, why, "enrolment refused");
        let entry = Entry::new(Act::JoinRefused, By::stranger(remote), &token, &why);
        self.audit.record(entry).await;
    }

    /// What is known of a token that was presented in vain: its short name, which tells nothing of the secret, and if
    /// there is such a token, whose it is.
    async fn shown_token(&self, secret: &str) -> String {
        let Some(hash) = SecretHash::of_presented(secret) else {
            return "no token".into();
        };
        let id = hash.id();
        let known = self.tokens.list().await.unwrap_or_default();
        let title = known.iter().find(|token| token.id == id).map(Token::title);
        format!("token {}", title.unwrap_or(id))
    }
}

fn der<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> Vec<Vec<u8>> {
    certificates.map(|der| der.to_vec()).collect()
}

fn trusted(authority: &Authority) -> Vec<Vec<u8>> {
    der(authority.trusted())
}

/// What helps a probe that cannot come in with what it has.
pub(super) fn rejoin(name: &VantageName) -> String {
    format!(
        "to let it in again run `onlyhere-coordinator token create --kind probe --name {name}` on the coordinator and `onlyhere-probe join TOKEN --replace` on the probe"
    )
}

fn not_admitted(not: NotAdmitted, peer: &Peer) -> Status {
    match not {
        NotAdmitted::TooSoon => Status::resource_exhausted(not.to_string()),
        _ => Status::permission_denied(format!("{not}; {}", rejoin(&peer.name))),
    }
}

fn unreadable(error: StoreError) -> Status {
    tracing::error!(%error, "the store cannot be used");
    Status::internal("the coordinator cannot use its store; its log says why")
}

fn refused(refused: Refused) -> Status {
    Status::unauthenticated(refused.to_string())
}

fn name_refused(refused: NameRefused) -> Status {
    Status::already_exists(refused.to_string())
}

fn not_signed(error: IdentityError) -> Status {
    Status::invalid_argument(format!("the signing request cannot be signed: {error}"))
}
