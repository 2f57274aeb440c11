"""What stands between the internet and the routes: proxies, origins of pages, common headers."""
