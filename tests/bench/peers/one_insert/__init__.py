"""No peer but a limit: a bare Flask application that keeps a callback by one INSERT, and does nothing else.

app.py     the application
run.py     starts it under the server, and with as many threads, as Trunkline's receiver
"""
