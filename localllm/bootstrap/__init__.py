"""Makes the environment in the checkout, before anything else can be imported; standard library only.

start            every start: is the environment whole? then hand over to it
environment      what it consists of, and the order in which it is made
packages         runs pip, shows how far it is, says in a sentence why it failed
engine_install   llama-cpp-python: a prebuilt wheel that fits, or a build from source
accelerator      which accelerator this computer has, and whether its toolkit is there
system_packages  compiler, venv and Qt's libraries: what is missing and the command that installs it
folder_lock      one set-up at a time
show, messages   what a person sees, in English and Spanish
"""
