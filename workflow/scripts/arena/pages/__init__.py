"""The report's pages and charts."""
