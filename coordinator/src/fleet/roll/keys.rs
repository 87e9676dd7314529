//! Which key a probe may attach with, over its renewals.
//!
//! Every renewal is for a new key. Until the new one has attached, the old one may, because the answer to a renewal can be
//! lost on the way; from then on the old one may not. Whoever comes with it afterwards has a copy, or is the owner whose
//! copy was faster: both are a reason to tell the operator.

use std::time::Duration;

use onlyhere_proto::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Enrolled, Roll, TRIES};
use crate::{
    audit::{Act, By, Event},
    fleet::sighting::Sighting,
    identity::Peer,
    place::Place,
    store::{Change, Committed, StoreError},
};

/// A probe does not renew more often; it bounds what one that misbehaves can cost.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(1);

/// What is kept of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The key identifier of the CA that signed it; none: of version 0.1.
    #[serde(default)]
    pub authority: Option<String>,
    /// When.
    pub signed_at: Timestamp,
    /// From when on it does not hold any more.
    pub expires_at: Timestamp,
}

/// A key with its certificate, given and not shown yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal.
    pub key_sha256: String,
    /// Its certificate.
    pub certificate: Certificate,
}

/// What a certificate is worth, by the roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The one in use.
    Current,
    /// The one that it renewed for, shown for the first time.
    Next,
    /// Signed after everything the roll knows of: the roll is an older one, from a backup.
    Newer,
    /// One that was replaced.
    Replaced,
}

/// Why a probe is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Struck off, or never there.
    #[error("this probe is not enrolled here any more")]
    StruckOff,
    /// It has an older key than the one on the roll.
    #[error("this probe's key was replaced by a newer one")]
    Replaced,
    /// It has renewed a moment ago.
    #[error("this probe has renewed its certificate a moment ago")]
    TooSoon,
}

impl From<&Peer> for Certificate {
    fn from(peer: &Peer) -> Self {
        Self {
            authority: peer.authority.clone(),
            signed_at: peer.signed_at,
            expires_at: peer.expires_at,
        }
    }
}

impl Enrolled {
    /// A probe that has just got its first certificate.
    pub fn new(place: Place, peer: &Peer, token: &str, now: Timestamp) -> Self {
        Self {
            place,
            key_sha256: peer.key_sha256.clone(),
            enrolled_at: now,
            token: token.to_owned(),
            certificate: Some(peer.into()),
            next: None,
            seen: None,
        }
    }

    /// What the certificate is worth.
    pub fn standing(&self, peer: &Peer) -> Standing {
        if peer.key_sha256 == self.key_sha256 {
            return Standing::Current;
        }
        let next = self.next.as_ref();
        if next.is_some_and(|next| next.key_sha256 == peer.key_sha256) {
            return Standing::Next;
        }
        let known = next.map(|next| &next.certificate).into_iter();
        let known = known.chain(&self.certificate).map(|c| c.signed_at);
        match known.max() {
            Some(latest) if peer.signed_at > latest => Standing::Newer,
            _ => Standing::Replaced,
        }
    }

    /// Whether a stream that was opened with this key may go on.
    pub fn accepts(&self, key_sha256: Option<&str>) -> bool {
        key_sha256.is_some_and(|key| self.keys().any(|known| known == key))
    }

    /// The keys it may attach with.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let next = self.next.iter().map(|next| next.key_sha256.as_str());
        std::iter::once(self.key_sha256.as_str()).chain(next)
    }

    /// Whether its certificate holds still; of one of version 0.1 that is not known.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.certificate.as_ref().is_none_or(|c| c.expires_at > now)
    }

    /// Whether its certificate is of the CA with this key.
    pub fn is_signed_by(&self, key_id: Option<&str>) -> bool {
        let authority = self
            .certificate
            .as_ref()
            .and_then(|c| c.authority.as_deref());
        authority.is_some() && authority == key_id
    }

    /// The same after an attachment with this certificate.
    fn admitted(&self, peer: &Peer) -> Self {
        let certificate = Some(Certificate::from(peer));
        match self.standing(peer) {
            Standing::Current => Self {
                certificate,
                ..self.clone()
            },
            _ => Self {
                key_sha256: peer.key_sha256.clone(),
                certificate,
                next: None,
                ..self.clone()
            },
        }
    }
}

impl Roll {
    /// Whether a probe may come in; a new key of its own takes the place of the old one.
    pub async fn admit(&self, peer: &Peer) -> Result<Result<Enrolled, NotAdmitted>, StoreError> {
        for _ in 0..TRIES {
            let was = match self.known(peer).await? {
                Ok(was) => was,
                Err(not) => return Ok(Err(not)),
            };
            let now = was.admitted(peer);
            if self.change(peer, was, now.clone(), None).await? {
                return Ok(Ok(now));
            }
        }
        Err(StoreError::Contended)
    }

    /// Writes down the certificate that a probe is about to get; it is on disk when this returns.
    pub async fn renew(
        &self,
        peer: &Peer,
        new: &Peer,
        by: &By,
    ) -> Result<Result<(), NotAdmitted>, StoreError> {
        for _ in 0..TRIES {
            let was = match self.known(peer).await? {
                Ok(was) => was,
                Err(not) => return Ok(Err(not)),
            };
            let pause = BETWEEN_RENEWALS.as_micros() as i64;
            let waiting = was
                .next
                .as_ref()
                .filter(|next| next.key_sha256 != peer.key_sha256);
            if waiting.is_some_and(|next| new.signed_at.0 - next.certificate.signed_at.0 < pause) {
                return Ok(Err(NotAdmitted::TooSoon));
            }
            let now = Enrolled {
                next: Some(Next {
                    key_sha256: new.key_sha256.clone(),
                    certificate: new.into(),
                }),
                ..was.admitted(peer)
            };
            let until = format!("until {}", new.expires_at);
            let act = Event::new(Act::ProbeRenewed, by.clone(), peer.name.as_str(), &until);
            if self.change(peer, was, now, Some(act)).await? {
                return Ok(Ok(()));
            }
        }
        Err(StoreError::Contended)
    }

    /// Writes down where a probe was seen, when that is new; gives what was known before.
    pub async fn sight(
        &self,
        peer: &Peer,
        see: impl Fn(Option<&Sighting>) -> Sighting,
    ) -> Result<Option<Enrolled>, StoreError> {
        for _ in 0..TRIES {
            let Some(was) = self.get(&peer.name).await? else {
                return Ok(None);
            };
            let now = Enrolled {
                seen: Some(Box::new(see(was.seen.as_deref()))),
                ..was.clone()
            };
            if self.change(peer, was.clone(), now, None).await? {
                return Ok(Some(was));
            }
        }
        Err(StoreError::Contended)
    }

    async fn known(&self, peer: &Peer) -> Result<Result<Enrolled, NotAdmitted>, StoreError> {
        let Some(enrolled) = self.get(&peer.name).await? else {
            return Ok(Err(NotAdmitted::StruckOff));
        };
        match enrolled.standing(peer) {
            Standing::Current | Standing::Next => Ok(Ok(enrolled)),
            Standing::Replaced => Ok(Err(NotAdmitted::Replaced)),
            Standing::Newer if self.store.is_revoked(&peer.key_sha256).await? => {
                Ok(Err(NotAdmitted::StruckOff))
            }
            Standing::Newer => {
                tracing::warn!(probe = %peer.name, "its certificate is newer than the roll, which must come from a backup: it is taken for what it is");
                Ok(Ok(enrolled))
            }
        }
    }

    /// False: somebody else was faster.
    async fn change(
        &self,
        peer: &Peer,
        was: Enrolled,
        now: Enrolled,
        act: Option<Event>,
    ) -> Result<bool, StoreError> {
        if was == now {
            return Ok(true);
        }
        let changed = Change::Probe {
            name: peer.name.clone(),
            was: Some(was),
            now: Some(now),
        };
        let changes = std::iter::once(changed).chain(act.map(Change::Audit));
        Ok(self.store.commit(changes.collect()).await? == Committed::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(key: &str, signed_at: i64) -> Peer {
        Peer {
            name: "fra1".parse().unwrap(),
            key_sha256: key.into(),
            signed_at: Timestamp(signed_at),
            expires_at: Timestamp(signed_at + 100_000_000),
            authority: Some("ca".into()),
        }
    }

    async fn roll(first: &Peer) -> (tempfile::TempDir, Roll) {
        let dir = tempfile::tempdir().unwrap();
        let url = crate::config::Store::default().url;
        let roll = Roll::new(crate::store::open(&url, dir.path()).await.unwrap());
        let (token, _) = crate::tokens::Token::generate(
            crate::tokens::TokenKind::Probe,
            first.name.clone(),
            Timestamp(0),
        );
        let enrolled = Enrolled::new(Place::default(), first, "t", Timestamp(0));
        let by = By::operator();
        let entered = roll.enter(&first.name, &token, enrolled, &by);
        entered.await.unwrap().unwrap();
        (dir, roll)
    }

    async fn admit(roll: &Roll, peer: &Peer) -> Result<(), NotAdmitted> {
        roll.admit(peer).await.unwrap().map(|_| ())
    }

    async fn renew(roll: &Roll, old: &Peer, new: &Peer) -> Result<(), NotAdmitted> {
        let by = By::probe(&old.name, None);
        roll.renew(old, new, &by).await.unwrap()
    }

    const S: i64 = 1_000_000;

    #[tokio::test]
    async fn at_every_moment_of_a_renewal_one_key_works() {
        let (a, b) = (peer("a", 10 * S), peer("b", 20 * S));
        let (_dir, roll) = roll(&a).await;
        assert_eq!(admit(&roll, &a).await, Ok(()));
        assert_eq!(renew(&roll, &a, &b).await, Ok(()));
        // The answer is on its way: either may come.
        assert_eq!(admit(&roll, &a).await, Ok(()));
        assert_eq!(admit(&roll, &b).await, Ok(()));
        // From now on the old one is a copy.
        assert_eq!(admit(&roll, &a).await, Err(NotAdmitted::Replaced));
        assert_eq!(
            renew(&roll, &a, &peer("c", 30 * S)).await,
            Err(NotAdmitted::Replaced)
        );
        assert_eq!(admit(&roll, &b).await, Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_was_lost_locks_nobody_out() {
        let a = peer("a", 10 * S);
        let (_dir, roll) = roll(&a).await;
        assert_eq!(renew(&roll, &a, &peer("lost", 20 * S)).await, Ok(()));
        let soon = peer("soon", 20 * S + 1);
        assert_eq!(renew(&roll, &a, &soon).await, Err(NotAdmitted::TooSoon));
        assert_eq!(renew(&roll, &a, &peer("b", 22 * S)).await, Ok(()));
        assert_eq!(
            admit(&roll, &peer("lost", 20 * S)).await,
            Err(NotAdmitted::Replaced)
        );
        assert_eq!(admit(&roll, &peer("b", 22 * S)).await, Ok(()));
        // With the next key a further renewal needs no wait.
        assert_eq!(
            renew(&roll, &peer("b", 22 * S), &peer("c", 22 * S + 2)).await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn a_roll_from_a_backup_takes_what_was_signed_since_and_nothing_that_was_struck_off() {
        let (a, later) = (peer("a", 10 * S), peer("later", 99 * S));
        let (_dir, roll) = roll(&a).await;
        assert_eq!(admit(&roll, &later).await, Ok(()));
        assert_eq!(admit(&roll, &a).await, Err(NotAdmitted::Replaced));
        assert!(roll.strike(&a.name, &By::operator()).await.unwrap());
        assert_eq!(admit(&roll, &later).await, Err(NotAdmitted::StruckOff));
        let (token, _) = crate::tokens::Token::generate(
            crate::tokens::TokenKind::Probe,
            a.name.clone(),
            Timestamp(0),
        );
        let by = By::operator();
        let anew = Enrolled::new(Place::default(), &peer("new", 50 * S), "t", Timestamp(0));
        let entered = roll.enter(&a.name, &token, anew, &by);
        entered.await.unwrap().unwrap();
        assert_eq!(admit(&roll, &later).await, Err(NotAdmitted::StruckOff));
    }
}
