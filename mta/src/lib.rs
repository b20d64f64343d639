//! The mail engine: renders, signs and spools what was decided, queues it per destination site and delivers it.

pub mod ready;
