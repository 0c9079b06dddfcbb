"""The search fields of books, which have marks, prices, notes and loans: one of each kind of entity."""

from railtrack.search.fields import (
    LIST_COMPARATORS,
    NULL_COMPARATORS,
    TEXT_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    SortField,
    SortKey,
    ValueType,
)

BOOK = EntityFields(
    name="attribute",
    fields={
        "title": Field("b.title", accepts_lists=True),
        "author": Field("b.author"),
        "cover": Field(
            "b.cover", accepts_lists=True, values={"paper": "1", "linen": "2"}, unknown_value="Unknown cover: {value}"
        ),
        "printed": Field("b.printed", ValueType.BIGINT),
        "pages": Field("b.pages", ValueType.WHOLE),
        "shelf": Field("b.shelf", ValueType.ID, accepts_lists=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sort_fields={
        "title": SortField((SortKey("b.title", ValueType.TEXT, nullable=True),)),
        "printed": SortField((SortKey("b.printed", ValueType.BIGINT),)),
        "Printed": SortField((SortKey("b.printed", ValueType.BIGINT),)),
    },
)
MARK = EntityFields(
    name="mark",
    any_field=Field(
        "m.value",
        condition="EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = {key} AND {test})",
    ),
    any_sort_field=SortField(
        (SortKey("{alias}.value", ValueType.TEXT, nullable=True),),
        "LEFT JOIN marks {alias} ON {alias}.id = b.id AND {alias}.key = {key}",
    ),
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_expected="A mark is a string, not {value}",
)
PRICE = EntityFields(
    name="price",
    any_field=Field(
        "p.value",
        ValueType.DOUBLE,
        condition="EXISTS (SELECT 1 FROM prices p WHERE p.id = b.id AND p.key = {key} AND {test})",
        is_nan="p.is_nan",
    ),
    number_expected="A price is a number, not {value}",
    invalid_comparator="Prices know no {comparator}",
)
NOTE = EntityFields(
    name="note",
    any_field=Field(
        "n.value", condition="EXISTS (SELECT 1 FROM notes n WHERE n.key = {key} AND {test})", accepts_lists=True
    ),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    accepts_unquoted_text=True,
    invalid_comparator="Notes know no {comparator} for {key}, but {ordered}",
)
RATING = EntityFields(
    name="rating",
    any_field=Field(
        "x.value",
        ValueType.DOUBLE,
        condition="EXISTS (SELECT 1 FROM ratings x WHERE x.id = b.id AND x.key = {key} AND {test})",
    ),
    any_sort_field=SortField(
        (SortKey("{alias}.value", ValueType.DOUBLE, nullable=True),),
        "LEFT JOIN ratings {alias} ON {alias}.id = b.id AND {alias}.key = {key}",
    ),
    shares_joins=True,
)
LOAN = EntityFields(
    name="loan",
    fields={"days": Field("l.days", ValueType.WHOLE, accepts_quoted_numbers=True)},
    sort_fields={"days": SortField((SortKey("l.days", ValueType.BIGINT),))},
    unknown_sort_key="Loans go by {valid}, not by {key}",
)
BOOKS = SearchFields(
    table="books",
    entities={
        **{"": BOOK, "book": BOOK, "mark": MARK, "marks": MARK, "price": PRICE, "rating": RATING, "note": NOTE},
        "loan": LOAN,
    },
    default_order=(SortKey("b.printed", ValueType.BIGINT, descending=True), SortKey("b.id", ValueType.ID)),
    unknown_entity="No such thing as a {entity}",
    null_not_supported="No {comparator} for {entity} {key}",
    order_not_supported="No order by {entity}",
)
