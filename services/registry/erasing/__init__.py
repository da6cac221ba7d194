"""Erasing a person's data from a project: what the elected registry does about ``tidemill erase``.

    erasures     takes the requests one after the other, in the background, and goes on after a crash
    erasure      the steps of one, in their order
    survey       what the project's records say, and which of them hold the value
    search       which files hold it: fetched, and looked through by a child process
    runs         the runs that used it: cancelled, waited for, their datasets deleted on record
    rewriting    the last versions of datasets, made again without the person's rows
    removal      artifacts that held it, or were made from them: tombstone first, then deleted
    overwriting  records and messages that hold it
    models       the versions that were trained on it
    notes        what could not be done, in words

See docs/adr/0015-erasure.md.
"""
