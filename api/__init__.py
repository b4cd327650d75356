"""HTTP routes beside the pages."""

VERSION = "0.1.0"
