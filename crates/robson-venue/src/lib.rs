//! The exchange and market data ports, the paper exchange and recorded feeds.
