//! What a virtual router is and says: VRRP as a pure state machine.
