//! One machine's brain: virtual routers and virtual servers, pure.
