//! What happens on this node, for those who listen: `kpr monitor`.
//!
//! While somebody listens, the agent runs programs that tell what they do; when the last one has left, those that have nothing to tell
//! with. [`Hub`] knows who listens, [`read`] passes on what is told. A listener that does not keep up loses events, which are counted, and
//! never holds anybody up.

mod filter;
mod hub;
mod names;
mod reader;
mod told;

#[cfg(test)]
mod tests;

pub use filter::{Filter, Place, PlaceError, dies};
pub use hub::{Feed, Hub, Listening};
pub use names::Names;
pub use reader::read;
pub use told::{Line, Process, Told};
pub(crate) use told::{device, socket};
