"""MLflow's search language: filter, order_by and page_token, from text to SQL. Pure: no database, no HTTP, no resource.

builder.py compiles a search: parser.py parses its texts, conditions.py turns comparisons into SQL, and fields.py
describes what a resource lets them name. The result is a paged_query.PagedQuery, which page.py fetches page by page.
"""
