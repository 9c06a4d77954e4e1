//! The kpr node agent.
