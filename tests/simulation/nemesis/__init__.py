"""A cluster that things happen to, seeded, in virtual time, and a model that knows what may be.

Clients (clients.py) use a whole cluster (cluster.py, over network.py and disks.py) while a nemesis
(nemesis.py) breaks it; all they did and heard is a history (model.py).  Then everything is mended,
the workers run, and a checker (checker.py) compares what is there with what may be.  campaign.py
puts it together; `python -m tests.simulation.nemesis --seed 7` is one run.
"""
