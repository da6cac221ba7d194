"""The right to be forgotten: finding a person's value, whatever it stands in, and writing things without it.

    subject    the value that is looked for, and the forms in which people write it
    texts      looking through bytes of any encoding
    tables     looking through Parquet and Arrow, row by row
    files      looking through a file of any format, archives included
    documents  JSON without the value
    rewriting  a dataset without the rows that hold it
    lineage    which artifacts were made from which, as the records tell
    jobs       what a child process does of this

Stands on artifacts, records and datasets; knows neither bus nor services. The value itself is never logged.
"""
