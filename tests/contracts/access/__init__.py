"""The contracts of what access stores: sessions, sign-in links and tickets."""
