"""The crash checker: whatever a power cut may legally leave, is what was acknowledged still there?

    tracer.py     E  runs a program under ptrace and notes every call that changes files
    events.py     P  those calls, as values; how they are kept in a file and read by a person
    recorder.py   E  starts the tracer on a subject; the recording must replay to what is on disk
    model.py      P  the theory: which states a crash may leave after a prefix of the calls
    explorer.py   E  builds such states as real files and asks a judge about each; the report
    mutants.py    P  recordings with a sync taken away: the checker must find each of them
    subject_*.py  E  the programs under test: a small store of plain calls, the product's own

A subject is a program that changes files below one folder and says, on a descriptor made for it,
when it begins an operation and when it has been acknowledged.  A judge opens a state with fresh
objects of the code under test and says what is wrong with it.
"""
