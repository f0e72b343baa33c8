use std::io::Write;

use serde_json::{Value, json};

use crate::cli::arguments::{Diff, Plain, Registry};
use crate::cli::report::{ERROR, FINE, NOTE};
use crate::cli::{Exit, Failure};
use crate::compatibility::{Comparison, Side, Verdict};
use crate::schema::SchemaId;

pub(super) fn run(registry: &Registry, options: &Diff, out: &mut impl Write) -> Result<Exit, Failure> {
    let schemas = registry.schemas.loaded()?;
    let get = |id: &SchemaId| schemas.get(id).ok_or_else(|| registry.has_no(id));
    let (before, after) = (get(&options.before)?, get(&options.after)?);
    let references = schemas.referred_by([before.document(), after.document()]);
    let comparison = Comparison::new(&references);
    let (old, new) = (Side::new(before.document()), Side::new(after.document()));
    let directions = [("backward", before.id(), after.id()), ("forward", after.id(), before.id())];
    let verdicts = comparison.judged(&[(&old, &new), (&new, &old)]);
    let directions: Vec<_> = directions.into_iter().zip(verdicts).collect();
    let is_compatible = directions.iter().all(|(_, verdict)| *verdict == Verdict::Compatible);
    match options.format {
        Plain::Json => {
            let each = directions
                .iter()
                .map(|((direction, ..), verdict)| ((*direction).to_owned(), described(verdict)));
            writeln!(out, "{:#}", Value::Object(each.collect()))?;
        }
        Plain::Human => {
            for ((direction, writer, reader), verdict) in &directions {
                told(direction, writer, reader, verdict, out)?;
            }
        }
    }
    Ok(if is_compatible { Exit::Fine } else { Exit::Found })
}

fn described(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Compatible => json!({ "verdict": "compatible" }),
        Verdict::Undecided { reason } => json!({ "verdict": "undecided", "reason": reason }),
        Verdict::Incompatible(witness) => json!({
            "verdict": "incompatible",
            "witness": witness.document,
            "at": witness.pointer,
            "place": witness.place,
            "message": witness.message,
        }),
    }
}

fn told(
    direction: &str,
    writer: &SchemaId,
    reader: &SchemaId,
    verdict: &Verdict,
    out: &mut impl Write,
) -> std::io::Result<()> {
    match verdict {
        Verdict::Compatible => {
            writeln!(out, "{direction}: {FINE}compatible{FINE:#}, {reader} reads all that {writer} writes")
        }
        Verdict::Undecided { reason } => writeln!(out, "{direction}: {NOTE}undecided{NOTE:#}: {reason}"),
        Verdict::Incompatible(witness) => {
            writeln!(
                out,
                "{direction}: {ERROR}incompatible{ERROR:#}, {reader} does not read all that {writer} writes"
            )?;
            writeln!(out, "  witness: {}", witness.document)?;
            writeln!(out, "  refused: {} ({} of {reader})", witness.message, witness.pointer)
        }
    }
}
