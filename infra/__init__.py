"""Where things live and what they run on: settings, stores, servers."""
