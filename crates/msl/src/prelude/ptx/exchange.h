// Nothing: lanes shuffle values and lay none down for each other.
#pragma once
