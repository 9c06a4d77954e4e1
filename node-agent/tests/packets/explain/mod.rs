//! What is explained is what happens, and explaining changes nothing.

mod agreement;
mod calls;
mod flows;
mod random;
mod state;
mod text;
mod world;
