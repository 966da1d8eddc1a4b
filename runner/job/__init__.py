"""One step attempt, carried out: values in, values out, events on the way. Decides nothing.

A job knows neither the database nor the machine it runs on; what it needs of the world are its ports.
"""
