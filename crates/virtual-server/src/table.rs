//! The destinations of all virtual servers into the services that the kernel should have.
