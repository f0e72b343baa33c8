use std::collections::HashMap;

use nexus_core::{ShapeLock, WayOfReading};

use super::{Objection, SchemaSet};
use crate::compatibility::{Comparison, Side, Verdict};
use crate::invalid::{self, InvalidSchema};
use crate::schema::{CompatibilityMode, Schema, SchemaId, SchemaKind};

/// What is to be said about a schema that somebody wants to register.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What was compared, and how that ended.
    pub compared: Vec<ComparedVersion>,
    /// Why it cannot be registered; if there is nothing here, it can.
    pub objections: Vec<Objection>,
}

/// A comparison with an earlier version.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedVersion {
    /// Which version.
    pub with: SchemaId,
    /// Who reads what.
    pub direction: Direction,
    /// Whether all of that is read.
    pub verdict: Verdict,
}

/// Who reads what the other has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The new version reads what was written by an earlier one.
    Backward,
    /// An earlier version reads what is written by the new one.
    Forward,
}

impl SchemaSet {
    /// Whether `proposed` can join these schemas.
    ///
    /// - It is a schema that can be used safely, and all that it refers to is here; and released, if it is itself.
    /// - Its version is newer than the others of its major version; a version that is there already stays as it is.
    /// - It goes together with earlier versions of its major version, as its own compatibility mode and that of the newest of them
    ///   ask.
    /// - With a new major version of an event there has to be an upcaster in the `lock` for the one before.
    ///
    /// It is compared with released versions alone. Versions behind it are not looked at, so that a set can be checked schema by
    /// schema.
    pub fn judge(&self, proposed: &Schema, lock: Option<&ShapeLock>) -> Judgement {
        let mut judgement = self.judge_alone(proposed, lock);
        let is_usable = !judgement
            .objections
            .iter()
            .any(|of| matches!(of, Objection::Invalid(_) | Objection::BadReference { .. }));
        if is_usable {
            let major = proposed.id().version.major;
            let beside = self.before(proposed).filter(|of| of.id().version.major == major);
            let beside: Vec<&Schema> = beside.collect();
            let documents = beside.iter().map(|of| of.document()).chain([proposed.document()]);
            judgement.compare(proposed, &beside, &self.referred_by(documents));
        }
        judgement
    }

    /// The same, but for what earlier versions have to do with it.
    pub(crate) fn judge_alone(&self, proposed: &Schema, lock: Option<&ShapeLock>) -> Judgement {
        let mut judgement = Judgement { compared: Vec::new(), objections: Vec::new() };
        let id = proposed.id();
        if let Some(objection) = self.unusable(proposed) {
            judgement.objections.push(objection);
            return judgement;
        }
        match self.get(id) {
            Some(registered) if registered.is_released() => {
                if registered != proposed {
                    judgement.objections.push(Objection::Released);
                }
            }
            _ => {
                let newest = self.newest(id.kind, &id.name, id.version.major);
                if let Some(newest) = newest.map(|of| of.id().version).filter(|newest| *newest > id.version) {
                    judgement.objections.push(Objection::NotNewest { newest });
                }
            }
        }
        judgement.objections.extend(self.unreleased_reference(proposed));
        let before = self.before(proposed).last().map(|of| of.id().version.major);
        if let Some(from) = before.filter(|from| id.kind == SchemaKind::Event && *from < id.version.major)
            && !has_upcaster(lock, &id.name, from)
        {
            judgement.objections.push(Objection::NoUpcaster { from, has_lock: lock.is_some() });
        }
        judgement
    }

    /// Released versions before it, the oldest first.
    fn before<'a>(&'a self, proposed: &'a Schema) -> impl Iterator<Item = &'a Schema> {
        let id = proposed.id();
        let is_before = |of: &&Schema| of.is_released() && of.id().version < id.version;
        self.versions(id.kind, &id.name).filter(is_before)
    }

    /// What is released does not change with a draft.
    fn unreleased_reference(&self, proposed: &Schema) -> Option<Objection> {
        let mut referred = super::set::references(proposed.document())
            .into_iter()
            .filter_map(|uri| self.get(&SchemaId::from_uri(&uri)?.ok()?));
        let is_draft = |schema: &&Schema| !schema.is_released() && schema.id() != proposed.id();
        let draft = referred.find(|schema| proposed.is_released() && is_draft(schema))?;
        Some(Objection::RefersToDraft { schema: draft.id().clone() })
    }

    fn unusable(&self, proposed: &Schema) -> Option<Objection> {
        let references = self.referred_by([proposed.document()]);
        match invalid::check(proposed.document(), &references) {
            Ok(()) => None,
            Err(error @ InvalidSchema::Unusable { .. }) => {
                // Where a reference names nothing, the reason may be the name.
                let bad = super::set::references(proposed.document()).into_iter().find_map(|uri| {
                    let error = SchemaId::from_uri(&uri)?.err()?;
                    Some(Objection::BadReference { uri, error })
                });
                Some(bad.unwrap_or(Objection::Invalid(error)))
            }
            Err(error) => Some(Objection::Invalid(error)),
        }
    }
}

impl Judgement {
    /// Whether it can be registered.
    pub fn is_accepted(&self) -> bool {
        self.objections.is_empty()
    }

    fn compare(
        &mut self,
        proposed: &Schema,
        beside: &[&Schema],
        references: &HashMap<String, serde_json::Value>,
    ) {
        let Some(newest) = beside.last() else { return };
        let modes = [newest.compatibility(), proposed.compatibility()];
        let new = Side::new(proposed.document());
        let old: Vec<(&Schema, Side<'_>)> =
            beside.iter().rev().map(|earlier| (*earlier, Side::new(earlier.document()))).collect();
        let mut asked = Vec::new();
        for (earlier, side) in &old {
            let is_newest = std::ptr::eq(*earlier, *newest);
            let asks = |is: fn(CompatibilityMode) -> bool| {
                modes.into_iter().find(|mode| is(*mode) && (is_newest || mode.is_transitive()))
            };
            let backward =
                asks(CompatibilityMode::is_backward).map(|mode| (Direction::Backward, mode, (side, &new)));
            let forward =
                asks(CompatibilityMode::is_forward).map(|mode| (Direction::Forward, mode, (&new, side)));
            asked.extend(backward.into_iter().chain(forward).map(|asked| (earlier.id(), asked)));
        }
        let pairs: Vec<_> = asked.iter().map(|(_, (_, _, pair))| *pair).collect();
        let verdicts = Comparison::new(references).judged(&pairs);
        for ((with, (direction, mode, _)), verdict) in asked.into_iter().zip(verdicts) {
            match &verdict {
                Verdict::Compatible => {}
                Verdict::Incompatible(witness) => {
                    let (with, witness) = (with.clone(), witness.clone());
                    self.objections.push(Objection::Incompatible { with, direction, witness, mode });
                }
                Verdict::Undecided { reason } => {
                    let (with, reason) = (with.clone(), reason.clone());
                    self.objections.push(Objection::Undecided { with, direction, reason, mode });
                }
            }
            self.compared.push(ComparedVersion { with: with.clone(), direction, verdict });
        }
    }
}

fn has_upcaster(lock: Option<&ShapeLock>, name: &str, from: u32) -> bool {
    let locked = lock.and_then(|lock| lock.events.get(name)?.get(&from));
    locked.is_some_and(|event| event.read == WayOfReading::Upcast)
}
