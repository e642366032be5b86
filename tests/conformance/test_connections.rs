//! Client connections: CC and CA.
