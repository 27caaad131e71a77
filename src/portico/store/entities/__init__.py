"""Who may call, and what bounds them: organizations, teams, users, keys, customers, and what is kept beside them."""
