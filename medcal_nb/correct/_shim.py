import numpy as np
from types import SimpleNamespace
from scipy.stats import rankdata, norm
def _comp(c,y,groups):
    c=np.asarray(c,float);y=np.asarray(y,bool)
    m=y.sum();n=(~y).sum()
    if not m or not n: return np.nan,np.nan
    r=rankdata(c); v=np.empty(len(c))
    v[y]=(r[y]-rankdata(c[y]))/n
    v[~y]=1-(r[~y]-rankdata(c[~y]))/m
    a=v[y].mean()
    infl=np.where(y,(v-a)/m,(v-a)/n)
    g=np.unique(groups,return_inverse=True)[1] if groups is not None else np.arange(len(c))
    s=np.bincount(g,infl); G=len(s)
    return a,np.sqrt((s**2).sum()*G/(G-1))
def auroc_test(c,y,*,groups=None,level=.95):
    a,se=_comp(c,y,groups); z=norm.ppf((1+level)/2)
    return dict(low=a-z*se,auroc=a,high=a+z*se,p=2*norm.sf(abs(a-.5)/se))
def auroc_difference(c1,y1,c2,y2,*,groups_a=None,groups_b=None,level=.95):
    a,s=_comp(c1,y1,groups_a); b,t=_comp(c2,y2,groups_b); se=np.hypot(s,t); z=norm.ppf((1+level)/2)
    return dict(low=a-b-z*se,difference=a-b,high=a-b+z*se,p=2*norm.sf(abs(a-b)/se))
