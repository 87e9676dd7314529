//! What people and programs get to read, kept in golden files: the text for a terminal, and the other formats.

mod formats;
mod hostile;
mod sample;
mod text;
