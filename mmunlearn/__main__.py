"""python -m mmunlearn"""

from mmunlearn.cli import main

if __name__ == "__main__":
    main()
