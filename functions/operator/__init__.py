"""What people ask and order: status, why, watch, send."""
