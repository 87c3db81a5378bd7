"""One process that keeps the models loaded and serves one TraX session after another.

The VOT toolkit starts a process for every sequence. That process is `tracker.attach`: it hands its
two pipes to the resident server over a Unix socket, starting the server when there is none.
Nothing here imports torch, numpy, OpenCV or trax.

options  what a server is asked to be, from the command line and the environment
places   its identity, and the socket, lock and log that follow from it
wire     messages over the socket, file descriptors included
launch   connect to the server, or start it, under a lock
refusal  telling the TraX client a reason without libtrax
loading  making the tracker, with a time limit
jobs     the sessions that wait for their turn
server   the resident server itself
"""
