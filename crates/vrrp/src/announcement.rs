//! Frames that tell the neighbours where an address is now.
