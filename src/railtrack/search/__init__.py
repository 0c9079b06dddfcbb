"""MLflow's search language: filter, order_by and page_token, from text to SQL. Pure: no database, no HTTP, no resource.

parser.py reads texts, vocabulary.py describes what a resource lets them name, sql.py turns the two into
conditions and orders, paging.py makes and reads page tokens. A resource brings its own vocabulary.
"""
