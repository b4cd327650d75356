"""Everything that built the embedded model pair; the app never imports it."""
