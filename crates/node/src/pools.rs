//! Every virtual server of a node: health, weights, the tables the kernel should hold.
