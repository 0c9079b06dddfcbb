"""Users and the grants of single users, as MLflow's basic-auth app has them. Logins and tokens are in api/account/."""
