//! Policies as code: who may do what, in Rego, at run time as in CI.

mod bundle;
mod decision;
mod engine;
#[cfg(feature = "cli")]
mod explaining;
mod fault;
mod guards;
mod input;
mod limits;
mod prepared;
mod rego;
mod reloading;
mod routing;
mod starter;
#[cfg(feature = "cli")]
mod testing;
mod value;

pub use bundle::{BundleDigest, PolicyBundle};
pub use decision::{Decision, Denial, PolicyRefusal};
pub use engine::{DecisionLog, PolicyEngine};
pub use fault::{BundleError, PolicyFault};
pub use input::{Operation, PolicyInput};
pub use limits::PolicyLimits;
pub use routing::PolicyRouter;

#[cfg(feature = "cli")]
pub(crate) use self::{
    explaining::explained,
    prepared::{Prepared, loaded},
    testing::{Test, Tested, tested},
    value::value,
};
