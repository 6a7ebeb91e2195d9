//! What a balanced service is and which real servers are fit.
