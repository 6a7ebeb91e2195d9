//! Verdicts and weights into the destinations of one virtual server.
