//! Controls: sites that are believed to be well tell a broken vantage from a broken target.

use onlyhere_proto::{CauseId, Family};

use super::Effect;
use crate::digest::{Control, ControlFailure};
use crate::hidden::State;
use crate::likelihood::CONTROL_ERROR;
use crate::model::ControlsSeen;
use crate::rows::{BROKEN_VANTAGE, HEALTHY, LIED};

/// How probable it is what a control came to, a portal's page in its place included.
pub(super) fn of_control(control: &Control, effect: Option<Effect<'_>>, state: State) -> f64 {
    let fails = match state {
        State::Broken => ControlsSeen::Fail,
        _ => effect.map_or(ControlsSeen::Healthy, Effect::controls),
    };
    // Who is tried without a name needs no resolver.
    let by_name = effect
        .and_then(Effect::met)
        .is_some_and(|e| e.row == HEALTHY);
    let fails = match fails {
        ControlsSeen::Fail if control.literal && by_name && state == State::Good => {
            ControlsSeen::Healthy
        }
        fails => fails,
    };
    if let Some(portal) = control.portal {
        let expected = effect.is_some_and(|e| e.is(CauseId::CaptivePortal));
        return if portal == expected { 0.95 } else { 0.02 };
    }
    let family = effect.and_then(Effect::family);
    let one = |ok: bool, of: Option<Family>| {
        let fault = match fails {
            ControlsSeen::Healthy => false,
            ControlsSeen::Fail => family.is_none() || of.is_none() || of == family,
            ControlsSeen::FailIn(f) => of == Some(f),
        };
        match (fault, ok) {
            (false, true) => 1.0 - CONTROL_ERROR,
            (false, false) => CONTROL_ERROR,
            (true, false) => 0.95,
            (true, true) => 0.05,
        }
    };
    let p = match (control.v4, control.v6) {
        (None, None) => control.ok.map_or(1.0, |ok| one(ok, None)),
        (v4, v6) => {
            v4.map_or(1.0, |ok| one(ok, Some(Family::V4)))
                * v6.map_or(1.0, |ok| one(ok, Some(Family::V6)))
        }
    };
    match (control.failure, fails) {
        (Some(failure), ControlsSeen::Fail) => p * way_of_failure(failure, effect, state),
        // What fails by chance fails in any way.
        (Some(ControlFailure::Unresolved), _) => p * 0.2,
        (Some(ControlFailure::At(_)), _) => p * 0.3,
        (None, _) => p,
    }
}

/// How well the way in which a control failed fits what is supposed to strike it.
fn way_of_failure(failure: ControlFailure, effect: Option<Effect<'_>>, state: State) -> f64 {
    let dead_resolver = effect.is_some_and(|e| e.dns().is_some());
    let (unresolved, row) = match (state, effect.and_then(Effect::met)) {
        (State::Broken, _) | (_, None) => (0.3, BROKEN_VANTAGE),
        (_, Some(entry)) if entry.row == HEALTHY && dead_resolver => (0.97, BROKEN_VANTAGE),
        (_, Some(entry)) if entry.row == HEALTHY && entry.lies => (0.02, LIED),
        (_, Some(entry)) if dead_resolver => (0.6, entry.row),
        (_, Some(entry)) => (0.02, entry.row),
    };
    match failure {
        ControlFailure::Unresolved => unresolved,
        ControlFailure::At(kind) => (1.0 - unresolved) * row.kind(kind),
    }
}
