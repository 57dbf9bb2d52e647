# Not on the command line: Keystone would take its words for options of its own.
wsgi_app = "keystone.wsgi.api:application"
bind = "0.0.0.0:5000"
threads = 4
